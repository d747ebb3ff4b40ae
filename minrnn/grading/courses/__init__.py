"""Course profiles: what a course calls its functions, arguments and shapes. Data in profiles/, its reader here."""
