"""Questions about one analysis, one a file: channels, comparison, votes, contrast, probe, flip, stability, trust ..."""
