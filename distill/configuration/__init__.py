"""What a run is asked for: its fields, checked as a whole and merged from preset, file and flags."""
