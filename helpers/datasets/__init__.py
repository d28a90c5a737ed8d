"""Images in: generated scenes, digits, CIFAR-10, and anybody's folders and tables."""
