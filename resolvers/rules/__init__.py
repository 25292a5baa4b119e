"""The rules of the model: the input that writes accept, and its checks."""
