"""What the net says: models, training, and the signatures of images in a trained net."""
