"""What is said of an analysis, once: sections that the page, the HTML summary and the terminal render."""
