"""Tables and figures of the paper, and the page that shows them: one module each."""
