"""The built-in methods of rescale-bench; each file or folder is one plugin."""
