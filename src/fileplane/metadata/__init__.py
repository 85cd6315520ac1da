"""What is known of files, projects and API keys."""
