"""Pure numerics on arrays: responses, noise, subspaces, closed forms and metrics. No I/O."""
