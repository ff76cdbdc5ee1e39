"""Numbers transcribed from papers, installed so that `rescale-bench published` finds them."""
