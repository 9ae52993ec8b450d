"""What the network learns from: each loss is a function of arrays with its backward pass, and none knows a network."""
