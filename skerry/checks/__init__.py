"""Named checks: of a cluster before it joins, of host and members later. Data, small functions, and who runs them."""
