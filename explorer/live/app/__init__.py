"""The live app: static files in which a visitor's own photo is analysed in their browser."""
