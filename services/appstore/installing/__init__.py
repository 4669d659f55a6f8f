"""AppReleases and AppInstances as the host API has them: admission, actions, controllers, and what is told in their status."""
