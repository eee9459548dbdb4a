"""The ground floor: what every other room needs, importing nothing of ours."""
