"""What is installed: releases of apps on clusters, worked as whoever wanted them, by Helm."""
