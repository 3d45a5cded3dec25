"""Everything that a first run on a GPU should tell, in steps that fail, hang or die alone."""
