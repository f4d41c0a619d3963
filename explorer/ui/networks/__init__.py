"""Choosing a network on a page: picker, own file, preprocessing, card, a second network."""
