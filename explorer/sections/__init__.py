"""What is said of an analysis, once: sections that the page, the HTML report and the terminal render."""
