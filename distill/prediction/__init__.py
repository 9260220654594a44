"""Applying a network to images of any size: views, tiles, bounded memory."""
