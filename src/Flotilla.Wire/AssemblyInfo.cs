using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Flotilla.Wire.Tests")]
