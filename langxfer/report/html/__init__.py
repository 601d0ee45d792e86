"""Reports as one HTML file each: of a run, of an evaluation, of compared runs, of a sweep."""
