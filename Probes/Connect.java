import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Connects in the ways of Java's library, and says what it saw, in the words of connect.c. */
public final class Connect {
    private static final Map<String, InetSocketAddress> targets = new HashMap<>();

    private interface Call {
        void run() throws IOException;
    }

    private static String elapsed(long begin) {
        long milliseconds = (System.nanoTime() - begin) / 1_000_000;
        return milliseconds < 150 ? "instant" : milliseconds < 400 ? "short" : milliseconds < 2000 ? "long" : "longer";
    }

    private static String place(SocketAddress address) {
        InetSocketAddress inet = (InetSocketAddress) address;
        String host = inet.getAddress().getHostAddress().replaceAll("%.*", "");
        boolean isKnown = false;
        for (Map.Entry<String, InetSocketAddress> target : targets.entrySet()) {
            isKnown |= target.getValue().getPort() == inet.getPort();
            boolean isOwn = target.getKey().startsWith("own");
            if (isOwn && target.getValue().getAddress().equals(inet.getAddress())) host = "own";
        }
        return host + "/" + (isKnown ? inet.getPort() : "PORT");
    }

    private static void report(String call, long begin, IOException error) {
        String text = error == null ? "0" : error.getMessage();
        System.out.println(call + " error=" + text + " elapsed=" + elapsed(begin));
    }

    private static void blocking(String name, int timeout) throws IOException {
        try (Socket socket = new Socket()) {
            long begin = System.nanoTime();
            try {
                socket.connect(targets.get(name), timeout);
            } catch (IOException error) {
                report("connect", begin, error);
                return;
            }
            report("connect", begin, null);
            System.out.println("names peer=" + place(socket.getRemoteSocketAddress()) + " own="
                + place(socket.getLocalSocketAddress()));
            socket.getOutputStream().write("ping".getBytes());
            socket.shutdownOutput();
            System.out.println("read got=" + new String(socket.getInputStream().readAllBytes()));
        }
    }

    private static void selected(String name, int limit) throws IOException {
        try (SocketChannel channel = SocketChannel.open(); Selector selector = Selector.open()) {
            channel.configureBlocking(false);
            SelectionKey key = channel.register(selector, SelectionKey.OP_CONNECT);
            long begin = System.nanoTime();
            try {
                if (!channel.connect(targets.get(name))) {
                    report("connect", begin, null);
                    begin = System.nanoTime();
                    boolean isSelected = selector.select(limit) == 1;
                    System.out.println("select ready=" + isSelected + " elapsed=" + elapsed(begin));
                    if (!isSelected) return;
                    channel.finishConnect();
                }
            } catch (IOException error) {
                report("finishConnect", begin, error);
                return;
            }
            System.out.println("names peer=" + place(channel.getRemoteAddress()) + " own="
                + place(channel.getLocalAddress()));
            key.cancel();
            selector.selectNow();
            channel.configureBlocking(true);
            channel.write(ByteBuffer.wrap("ping".getBytes()));
            channel.shutdownOutput();
            ByteBuffer bytes = ByteBuffer.allocate(16);
            while (channel.read(bytes) >= 0) continue;
            System.out.println("read got=" + new String(bytes.array(), 0, bytes.position()));
        }
    }

    private static void threads(String name) {
        Map<String, Integer> results = new TreeMap<>();
        Thread[] threads = new Thread[20];
        for (int index = 0; index < threads.length; index++) {
            threads[index] = new Thread(() -> {
                String result;
                try (Socket socket = new Socket()) {
                    socket.connect(targets.get(name));
                    socket.getOutputStream().write("ping".getBytes());
                    result = new String(socket.getInputStream().readNBytes(4));
                } catch (IOException error) {
                    result = error.getMessage();
                }
                synchronized (results) {
                    results.merge(result, 1, Integer::sum);
                }
            });
            threads[index].start();
        }
        for (Thread thread : threads) {
            try {
                thread.join();
            } catch (InterruptedException interruption) {
                Thread.currentThread().interrupt();
            }
        }
        System.out.println("threads results=" + results);
    }

    public static void main(String[] words) throws IOException {
        Set<String> only = new HashSet<>();
        for (String word : words) {
            int equals = word.indexOf('='), colon = word.lastIndexOf(':');
            if (word.startsWith("only:")) {
                only.add(word.substring(5));
            } else {
                InetAddress host = InetAddress.getByName(word.substring(equals + 1, colon));
                int port = Integer.parseInt(word.substring(colon + 1));
                targets.put(word.substring(0, equals), new InetSocketAddress(host, port));
            }
        }
        Map<String, Call> cases = new LinkedHashMap<>();
        cases.put("Socket", () -> blocking("echo4", 0));
        cases.put("Socket, IPv6", () -> blocking("echo6", 0));
        cases.put("Socket, refused", () -> blocking("refused4", 0));
        cases.put("Socket, unreachable", () -> blocking("unreachable4", 0));
        cases.put("Socket, silent", () -> blocking("silent4", 0));
        cases.put("Socket with a timeout", () -> blocking("echo4", 10_000));
        cases.put("Socket with a timeout, refused", () -> blocking("refused4", 10_000));
        cases.put("Socket with a timeout, silent", () -> blocking("silent4", 200));
        cases.put("SocketChannel", () -> selected("echo4", 10_000));
        cases.put("SocketChannel, refused", () -> selected("refused4", 10_000));
        cases.put("SocketChannel, unreachable", () -> selected("unreachable4", 10_000));
        cases.put("SocketChannel, silent", () -> selected("silent4", 200));
        cases.put("twenty threads", () -> threads("echo4"));
        cases.put("twenty threads, refused", () -> threads("refused4"));
        for (Map.Entry<String, Call> one : cases.entrySet()) {
            if (!only.isEmpty() && !only.contains(one.getKey())) continue;
            System.out.println("case " + one.getKey());
            one.getValue().run();
        }
    }
}
