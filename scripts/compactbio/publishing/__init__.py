"""What a finished run says of itself to others: citations, model cards, a research object, models on a hub."""
