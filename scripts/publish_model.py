"""Upload a model that was trained here to the hub, with its full card. A dry run unless --upload is given.

The token is taken from the environment variable HF_TOKEN, which no message repeats. Before anything is sent, every
file is compared with its digest, and the card must be of the same training as the model.

  python scripts/publish_model.py --model DistilBioBERT --repository me/distil-biobert            what would be sent
  HF_TOKEN=... python scripts/publish_model.py --model DistilBioBERT --repository me/distil-biobert --upload
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.errors import UserError
from compactbio.files import read_manifest
from compactbio.logs import run_program

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, check, tell what would be sent or send it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="its name in the configuration")
    parser.add_argument("--repository", required=True, metavar="OWNER/NAME", help="where to, made if it is not there")
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="the configurations it was trained with, merged over config/config.yaml (default: that file alone)",
    )
    parser.add_argument("--results", type=Path, metavar="ROOT", help="results folder, instead of the configuration's")
    parser.add_argument("--upload", action="store_true", help="send it; without this, only say what would be sent")
    parser.add_argument("--public", action="store_true", help="make a new repository public (default: private)")
    add_verify(parser)
    arguments = parser.parse_args()

    from compactbio.publishing.upload import TOKEN, plan_upload, upload
    from compactbio.settings.load import settings_of_files
    from compactbio.settings.results import Results

    results = Results(arguments.results or Path(settings_of_files(arguments.configfile)["results_dir"]))
    model, card = results.pretraining(arguments.model).model.folder, results.reporting.model_card(arguments.model)
    files = plan_upload(model, card, arguments.repository)
    for name, path in files.items():
        log.info("%s: %s, %s bytes", name, path, f"{path.stat().st_size:,}")
    if not arguments.upload:
        log.info("dry run: nothing was sent to %s; --upload sends it", arguments.repository)
        return
    token = os.environ.get(TOKEN)
    if not token:
        raise UserError(f"the environment has no {TOKEN}: set it to a token that may write to {arguments.repository}")
    from huggingface_hub import HfApi

    fingerprint = read_manifest(model, contents=False)["origin"]["fingerprint"]
    address = upload(
        HfApi(token=token), arguments.repository, files, fingerprint=fingerprint, private=not arguments.public
    )
    log.info("%s is at %s", arguments.model, address)


if __name__ == "__main__":
    run_program(main)
