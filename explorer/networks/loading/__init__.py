"""Where networks come from: bundled, by name from torchvision or timm, or a checkpoint that a person brings.

`load` has the two functions that others call. The three sources are `bundled`; `by_name`, with `known_networks` (which
names there are), `blueprints` (how each network is built and fed) and `fetching`; and `checkpoint`, with `files`,
`archive` and `inert_pickle`, which read it without running anything. `architecture` fits a checkpoint to a network,
`class_names` reads names of classes, `options` is a network as a command line names it.
"""
