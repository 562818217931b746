"""What SmokePing's parser accepts and refuses, as small files: `cases`."""
