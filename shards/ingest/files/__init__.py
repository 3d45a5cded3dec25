"""What files a data set holds."""
