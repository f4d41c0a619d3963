"""Where networks come from: bundled, by name from torchvision or timm, or a checkpoint of the user's own."""
