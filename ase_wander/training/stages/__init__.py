"""What one stage of a training fits."""
