"""Numbers, dates, signs and abbreviations as they are said, in four languages."""
