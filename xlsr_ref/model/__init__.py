"""What one does with a model: load.py opens one, model.py binds its verbs, network.py is its network with the head."""
