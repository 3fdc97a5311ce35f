"""What the README's tables come from. Figures are medians; compare ratios within one run, machines differ."""
