using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server;

/// <summary>
/// Logs as plain lines: time in UTC, level, event id, message. Information and above; of the framework warnings and above.
/// Thread-safe. It does not own the writer.
/// </summary>
public sealed class TextLoggerFactory(TextWriter output) : ILoggerFactory
{
    private readonly Lock _gate = new();

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName)
    {
        ArgumentNullException.ThrowIfNull(categoryName);
        var ours = categoryName.StartsWith("Flotilla", StringComparison.Ordinal);
        return new TextLogger(this, ours ? LogLevel.Information : LogLevel.Warning);
    }

    /// <inheritdoc/>
    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException("There is one destination: the text writer.");

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            output.Flush();
        }
    }

    private void Write(string line)
    {
        lock (_gate)
        {
            try
            {
                output.WriteLine(line);
                output.Flush();
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException)
            {
                // Whoever read the log is gone. The node's work does not depend on it.
            }
        }
    }

    private sealed class TextLogger(TextLoggerFactory factory, LogLevel least) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= least && logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(logLevel))
            {
                return;
            }

            var line = new StringBuilder(160);
            line.Append(CultureInfo.InvariantCulture, $"{DateTime.UtcNow:yyyy-MM-ddTHH:mm:ss.fffZ} {Name(logLevel)} {eventId.Id} ");
            line.Append(formatter(state, exception));
            if (exception is not null)
            {
                line.Append(Environment.NewLine).Append(exception);
            }

            factory.Write(line.ToString());
        }

        private static string Name(LogLevel level) => level switch
        {
            LogLevel.Information => "info",
            LogLevel.Warning => "warn",
            LogLevel.Error => "error",
            LogLevel.Critical => "fatal",
            _ => "debug",
        };
    }
}
