"""The fast path: networks rewritten, prepared and compiled so that a step costs what the hardware needs for it."""
