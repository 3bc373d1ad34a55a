using System.Text;
using Flotilla.Node;

namespace Flotilla.Cli;

/// <summary>The world around one command: streams, environment, signals. The real one is made in <c>Program</c>, others by tests.</summary>
internal sealed class Shell
{
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);
    private TextWriter? _out;

    /// <summary>Runs nodes and routers.</summary>
    public required INodeRunner Runner { get; init; }

    /// <summary>Standard input.</summary>
    public required Func<Stream> StdIn { get; init; }

    /// <summary>Standard output: data and nothing else.</summary>
    public required Stream StdOut { get; init; }

    /// <summary>Standard error: commentary.</summary>
    public required TextWriter Err { get; init; }

    /// <summary>Looks up an environment variable.</summary>
    public required Func<string, string?> Env { get; init; }

    /// <summary>Standard output is a terminal: tables and live views are welcome.</summary>
    public bool OutIsTerminal { get; init; }

    /// <summary>Standard error is a terminal: progress bars are welcome.</summary>
    public bool ErrIsTerminal { get; init; }

    /// <summary>Cancelled by Ctrl-C or SIGTERM.</summary>
    public CancellationToken Stop { get; init; }

    /// <summary>Standard output as UTF-8 text. Buffered: it is flushed when the command ends, and where somebody waits for a line.</summary>
    public TextWriter Out => _out ??= new StreamWriter(StdOut, Utf8, 16 << 10, leaveOpen: true) { NewLine = "\n" };
}
