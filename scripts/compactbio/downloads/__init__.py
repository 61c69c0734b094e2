"""Files from the network, by one downloader: baseline files, task archives and hub snapshots.

What is fetched is resumed, verified, opened as what its name says (`content`, `extraction`), and only then gets its
name (`transfer`). What no table gives a digest for is pinned when it is first seen (`pins`). Libraries do what they
are kept for:

- huggingface_hub fetches the files of snapshots (`hub`): it knows the hub's addresses, large files and cache.
- requests speaks HTTP (`web`): redirects, proxies and certificates of the environment. pooch and fsspec fetch a file
  whole and start anew after a cut; httpx would do as well, but `datasets` installs requests already.
- urllib3, below requests, reads a body as it was sent, so that its length and its encoding can be checked.
- tenacity repeats what failed, with waits that grow and jitter (`retries`).
"""
