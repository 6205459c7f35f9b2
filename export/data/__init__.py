"""What goes into models and what came out: golden data, images, pixels."""
