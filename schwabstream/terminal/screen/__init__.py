"""Full-screen programs: reading keys, the alternate screen, drawing at a steady pace, writing changed cells only."""
