"""What global pooling does, as live experiments: the numbers of each lesson, computed from the network at hand."""
