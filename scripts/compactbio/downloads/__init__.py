"""Files from the network, by one downloader: baseline files, task archives, hub snapshots."""
