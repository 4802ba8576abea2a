"""Language models as judges, through Inspect: costs known beforehand, nothing judged is paid for twice."""
