using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>Keeps every line, so that a test can look for a warning.</summary>
internal sealed class TestLog : ILoggerFactory, ILogger
{
    private readonly ConcurrentQueue<(LogLevel Level, EventId Id, string Text)> _lines = new();

    public IEnumerable<(LogLevel Level, EventId Id, string Text)> Lines => _lines;

    public int Count(int eventId) => _lines.Count(l => l.Id.Id == eventId);

    public bool Has(int eventId, string part) => _lines.Any(l => l.Id.Id == eventId && l.Text.Contains(part, StringComparison.Ordinal));

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel))
        {
            _lines.Enqueue((logLevel, eventId, $"{formatter(state, exception)} {exception}"));
        }
    }

    public void Dispose()
    {
    }
}
