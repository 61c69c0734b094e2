"""The pages of the report beside its tables and figures: run, corpus, costs, deviations, environment."""
