"""Questions about one analysis, one a file: channels, poolings compared, votes, contrasts, probes, flips, stability."""
