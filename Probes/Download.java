import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;

/** Downloads URL to FILE. */
class Download {
    public static void main(String[] words) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(words[0])).build();
        HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofFile(Path.of(words[1])));
    }
}
