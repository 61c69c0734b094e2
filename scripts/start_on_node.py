"""Become a command on one of several nodes of a training, with the node's own settings: srun starts this on each."""

from __future__ import annotations

import os
import sys

from compactbio.training.launching import node_settings

if __name__ == "__main__":
    os.execve(sys.argv[1], sys.argv[1:], {**os.environ, **node_settings(os.environ, sys.argv[1:])})
