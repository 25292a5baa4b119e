"""What operators observe: metrics."""
