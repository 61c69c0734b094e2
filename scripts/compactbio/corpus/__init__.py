"""From the PubMed baseline, or documents of one's own, to token stores."""
