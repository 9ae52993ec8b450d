"""What the network is trained to do: losses with their backward passes, one to a file."""
