"""The terms of pre-training's objectives, one module a family: each term's record and its function stand together.

Read by the settings too, so no module here imports torch at its top.
"""
