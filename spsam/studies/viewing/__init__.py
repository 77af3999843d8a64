"""Cases to look at: what trained runs and folders of predictions show of them."""
