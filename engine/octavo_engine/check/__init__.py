"""`octavo check`: would a model load here, and how much could it serve? Its weights are not read."""
