"""Files from the network, by one downloader: baseline files, task archives and hub snapshots.

What is fetched is resumed, verified, opened as what its name says, and only then gets its name (`transfer`,
`content`). What no table gives a digest for is pinned when it is first seen (`pins`). Libraries do what they are
kept for:

- huggingface_hub fetches snapshots (`hub`): it knows the hub's addresses, large files and cache.
- requests speaks HTTP: redirects, proxies and certificates of the environment, reading without end of memory. Of
  what was compared, pooch and fsspec fetch a file whole and start anew after a cut, and httpx adds no more than
  requests, which `datasets` installs already.
- urllib3, below requests, reads a body as it was sent, so that its length and encoding can be checked.
- tenacity repeats what failed, with waits that grow and jitter (`retries`).
- filelock keeps two processes from writing one file (`pins`).
"""
